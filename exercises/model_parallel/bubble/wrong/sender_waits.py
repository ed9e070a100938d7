"""The sender waits until its message is there.

status: incorrect
feedback: not the one that
"""


def bubble(orders, forward_s, backward_s, message_s):
    last, end = len(orders) - 1, {}
    position, free = [0] * len(orders), [0.0] * len(orders)
    busy, moved = 0.0, True
    while moved:
        moved = False
        for stage, order in enumerate(orders):
            while position[stage] < len(order):
                action = order[position[stage]]
                is_forward = action.startswith("F")
                source = stage - 1 if is_forward else stage + 1
                start = free[stage]
                if 0 <= source <= last:
                    if (source, action) not in end:
                        break
                    start = max(start, end[source, action])
                length = (forward_s if is_forward else backward_s)[stage]
                target = stage + 1 if is_forward else stage - 1
                on_its_way = message_s if 0 <= target <= last else 0.0
                end[stage, action] = free[stage] = start + length + on_its_way
                busy += length
                position[stage] += 1
                moved = True
    if any(done < len(order) for done, order in zip(position, orders)):
        return None
    step_s = max(free)
    return [step_s, 1 - busy / (step_s * len(orders))]
