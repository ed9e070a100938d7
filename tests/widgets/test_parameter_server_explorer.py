"""The explorer of parameter servers trains what its controls say."""

import pytest

from labkit.widgets.parameter_server import ParameterServerExplorer


def test_it_trains_with_the_rule_and_the_faults_that_are_chosen():
    explorer = ParameterServerExplorer("ssp,1", num_workers=2)
    explorer.slow.value, explorer.stall.value, explorer.correction.value = 4.0, 0.0, "learning_rate"
    explorer.button.click()
    explorer.wait(100)
    bsp, ssp, free = explorer.value
    assert [report.consistency for report in explorer.value] == ["bsp", "ssp,1", "async"]
    assert {report.num_workers for report in explorer.value} == {2} and set(bsp.stalenesses) == {0}
    assert ssp.computed_s[0] > 3 * ssp.computed_s[1] and free.waited_s[1] < ssp.waited_s[1]
    assert len(explorer.figures) == 4 and "ssp,1" in explorer.figures[0].layout.title.text
    assert "async:" in explorer.status.value and "accuracy" in explorer.status.value
    assert not explorer.bound.disabled and explorer.button.description == "Train"


def test_a_rule_that_is_none_is_refused():
    with pytest.raises(ValueError, match="one of bsp, ssp, async"):
        ParameterServerExplorer("sometimes")
