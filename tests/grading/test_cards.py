"""Flashcards: which are due, and what is kept."""

import pytest

from labkit.grading.cards import AGAIN_AFTER, TOP_BOX, Card, CardRun, due_cards


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_PROGRESS", str(tmp_path / "progress.json"))


def test_boxes_come_back_ever_more_rarely():
    cards = tuple(Card(str(box), "") for box in range(TOP_BOX + 1))
    boxes = {str(box): box for box in range(TOP_BOX + 1)}
    rounds = {card.term: [r for r in range(1, 17) if card in due_cards(cards, boxes, r)] for card in cards}
    assert [len(rounds[str(box)]) for box in range(5)] == [16, 16, 8, 4, 2]
    assert due_cards(cards[3:], boxes, 1) == list(cards[3:])  # none is due: all


def test_a_card_that_was_not_known_comes_again_soon_and_is_kept():
    run = CardRun("05_collectives")
    cards = run.cards
    run.again()
    seen = []
    for _ in range(AGAIN_AFTER + 1):
        seen.append(run.current)
        run.known()
    assert seen == [*cards[1 : AGAIN_AFTER + 1], cards[0]]
    assert run.boxes[cards[0].term] == 1 and run.num_known == AGAIN_AFTER + 1
    while run.current:
        run.known()
    assert run.num_known == len(cards) and run.num_left == 0
    run.known()  # nothing is left: nothing happens
    later = CardRun("05_collectives")  # another day
    assert later.num_known == len(cards) and later.number == 2 and later.num_left == len(cards)
    later.again()
    later.known()
    assert later.boxes[cards[1].term] == 2  # known on two days
    assert CardRun("05_collectives").boxes[cards[0].term] == 0
