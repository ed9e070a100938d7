def one_f_one_b(num_stages, num_microbatches, stage):
    """Forwards are so many ahead of the backwards as stages follow."""
    num_ahead = min(num_stages - 1 - stage, num_microbatches)
    order = [f"F{j}" for j in range(num_ahead)]
    for j in range(num_microbatches):
        if j + num_ahead < num_microbatches:
            order.append(f"F{j + num_ahead}")
        order.append(f"B{j}")
    return order
