"""The bits of a number to click, in any format, with the numbers around it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import ipywidgets as widgets

from labkit.errors import UsageError
from labkit.floating_point.formats import PRESETS, Format, find_format
from labkit.floating_point.reading import Reading, code_of_text, read_code, stored_code
from labkit.floating_point.ulp import Stored, store
from labkit.views.bit_fields import FIELD_COLOURS, bit_fields
from labkit.views.number_line import number_line_figure
from labkit.widgets.bit_readings import readings, short
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.heard import INITIALIZE, HeardWidget
from labkit.widgets.replace import replace_figure

CUSTOM = "custom"
ROUNDINGS = ("ties_to_even", "ties_away", "toward_zero", "up", "down")
STYLE = {"description_width": "initial"}
_FOLDER = Path(__file__).parent


class BitPanel(HeardWidget):
    """The switches, fields and readings on the page; shows ``state`` and reports what somebody does."""

    _esm = INITIALIZE + (_FOLDER / "bit_editor.js").read_text(encoding="utf-8")
    _css = (_FOLDER / "bit_editor.css").read_text(encoding="utf-8")


class BitEditor(widgets.VBox):
    """Click bits or type a number: see what is stored, exactly, and what lies around it.

    Parameters
    ----------
    number : str
        To begin with: a decimal, a fraction "1/3", "inf", "nan"; or a code "0x3c00", "0b0101".
    fmt : str or Format
        From the catalogue, or one of your own.
    rounding : str
        Of typed numbers: one of ``ROUNDINGS``.

    Attributes
    ----------
    format, rounding : ipywidgets.Dropdown
    exponent_bits, significand_bits : ipywidgets.BoundedIntText
    bias : ipywidgets.Text
        Of a custom format; empty for the usual one.
    infinities : ipywidgets.Checkbox
    panel : BitPanel
    line : FigureWidget
    fmt : Format
    code : int
    stored : labkit.floating_point.ulp.Stored
        The number as typed, and what became of it; of clicked bits the number itself.
    message : str
        Why the last entry was not taken; the value before it stays.

    Raises
    ------
    UsageError
        A number, format or rounding that there is not.

    Examples
    --------
    >>> editor = BitEditor("0.1", "binary16")
    >>> hex(editor.code), editor.reading.decimal
    ('0x2e66', '0.0999755859375')
    >>> editor.toggle(0)
    >>> editor.reading.decimal
    '-0.0999755859375'
    >>> editor.enter("a tenth")
    >>> editor.message[:27], editor.reading.decimal
    ("'a tenth' is no number: typ", '-0.0999755859375')
    """

    def __init__(self, number: str = "0.1", fmt: str | Format = "binary16", *, rounding: str = "ties_to_even"):
        if rounding not in ROUNDINGS:
            raise UsageError(
                f"BitEditor: rounding is one of {', '.join(ROUNDINGS)}, not {rounding!r}: pass one of them."
            )
        self.fmt, self.message, self._wrong = find_format(fmt), "", "number"
        self._make_controls(rounding)
        self.code, self.stored = self._find(str(number), self.fmt)
        self.panel = BitPanel(state=self._state())
        self.line = FigureWidget(number_line_figure(self.stored, with_bits=False))
        self.panel.on_msg(self._on_message)
        for control in (self.format, self.rounding, *self._custom_controls):
            control.observe(self._on_format, "value")
        self._custom = widgets.HBox(list(self._custom_controls), layout=widgets.Layout(flex_flow="row wrap"))
        self._show_custom()
        super().__init__([widgets.HBox([self.format, self.rounding]), self._custom, self.panel, self.line])

    def _make_controls(self, rounding: str) -> None:
        preset = PRESETS.get(self.fmt.name) == self.fmt
        self.format = widgets.Dropdown(
            options=[*PRESETS, CUSTOM], value=self.fmt.name if preset else CUSTOM, description="format", style=STYLE
        )
        self._copying = False
        self._given = None if preset else self.fmt  # a format of the caller's own, as long as nothing is changed
        self.rounding = widgets.Dropdown(options=ROUNDINGS, value=rounding, description="rounding", style=STYLE)
        self.exponent_bits = widgets.BoundedIntText(
            value=self.fmt.exponent_bits, min=2, max=11, description="exponent bits", style=STYLE
        )
        self.significand_bits = widgets.BoundedIntText(
            value=self.fmt.significand_bits, min=0, max=52, description="significand bits", style=STYLE
        )
        usual = 2 ** (self.fmt.exponent_bits - 1) - 1
        self.bias = widgets.Text(
            value="" if self.fmt.bias == usual else str(self.fmt.bias), placeholder=str(usual), description="bias",
            style=STYLE, continuous_update=False,
        )
        self.infinities = widgets.Checkbox(value=self.fmt.infinities, description="infinities", indent=False)

    @property
    def _custom_controls(self) -> tuple[widgets.Widget, ...]:
        return self.exponent_bits, self.significand_bits, self.bias, self.infinities

    @property
    def reading(self) -> Reading:
        """The code, read."""
        return read_code(self.code, self.fmt)

    def enter(self, text: str) -> None:
        """Take a typed number or code; what is none gives a message, and the value stays."""
        self._take(lambda: self._find(text, self.fmt), "number")

    def enter_code(self, text: str) -> None:
        """Take a code in hexadecimal or binary digits; "0x" may be left out."""
        text = text.strip()
        prefixed = text if text[:2].lower() in ("0x", "0b") else f"0x{text}"
        self._take(lambda: self._find(prefixed, self.fmt), "code")

    def toggle(self, place: int) -> None:
        """Change the bit at a place, from 0 at the left."""
        if not isinstance(place, int) or not 0 <= place < self.fmt.num_bits:
            raise UsageError(
                f"toggle: {self.fmt.name} has the bits 0 to {self.fmt.num_bits - 1} from the left, not {place!r}: "
                f"pass one of them."
            )
        self._set_code(self.code ^ 1 << (self.fmt.num_bits - 1 - place))

    def step(self, by: int) -> None:
        """Go to the next number above (1) or below (-1); at the end nothing happens."""
        self._set_code((self.reading.above if by > 0 else self.reading.below)[0])

    def _set_code(self, code: int) -> None:
        self._take(lambda: (code, stored_code(code, self.fmt)), "code")

    def _find(self, text: str, fmt: Format) -> tuple[int, Stored]:
        """Code and value of what was typed, in a format."""
        code = code_of_text(text, fmt)
        if code is not None:
            return code, stored_code(code, fmt)
        stored = store(text, fmt, rounding=self.rounding.value)
        return stored.code, stored

    def _take(self, find, wrong: str) -> None:
        try:
            self.code, self.stored = find()
            self.message = ""
        except UsageError as error:
            self.message, self._wrong = str(error), wrong
        self._refresh()

    def _refresh(self) -> None:
        self.panel.state = self._state()
        if not self.message:
            replace_figure(self.line, number_line_figure(self.stored, with_bits=False))

    def _on_message(self, widget, content, buffers) -> None:
        do = content.get("do") if isinstance(content, dict) else None
        text, place = content.get("text") if do else None, content.get("place") if do else None
        if do == "number" and isinstance(text, str):
            self.enter(text)
        elif do == "code" and isinstance(text, str):
            self.enter_code(text)
        elif do == "bit" and isinstance(place, int) and 0 <= place < self.fmt.num_bits:
            value = content.get("value")
            if value is None or value != self.code >> (self.fmt.num_bits - 1 - place) & 1:
                self.toggle(place)
        elif do == "step" and content.get("by") in (-1, 1):
            self.step(content["by"])

    def _on_format(self, change) -> None:
        """Another format or rounding: what was typed is taken anew."""
        if self._copying:
            return
        if change["owner"] in self._custom_controls:
            self._given = None
        if change["owner"] is self.format and change["new"] == CUSTOM:
            self._copy_format()
        self._show_custom()
        try:
            fmt = self._chosen_format()
        except UsageError as error:
            self.message, self._wrong = str(error), "format"
            self.panel.state = self._state()
            return
        typed, text = self.stored.typed, self.stored.text
        self.fmt = fmt
        try:
            exact = typed if isinstance(typed, Fraction) and not text.strip().startswith("-0") else text
            found = store(exact, fmt, rounding=self.rounding.value)
            self.code, self.stored, self.message = found.code, Stored(**_fields(found) | {"text": text}), ""
        except UsageError as error:  # NaN where there is none
            self.code, self.stored = 0, stored_code(0, fmt)
            self.message, self._wrong = f"{error} Shown is 0.", "format"
        self.panel.state = self._state()
        replace_figure(self.line, number_line_figure(self.stored, with_bits=False))

    def _copy_format(self) -> None:
        """A custom format begins with the one before it."""
        self._copying = True
        self.exponent_bits.value, self.significand_bits.value = self.fmt.exponent_bits, self.fmt.significand_bits
        usual = 2 ** (self.fmt.exponent_bits - 1) - 1
        self.bias.value = "" if self.fmt.bias == usual else str(self.fmt.bias)
        self.infinities.value = self.fmt.infinities
        self._copying = False

    def _chosen_format(self) -> Format:
        if self.format.value != CUSTOM:
            return PRESETS[self.format.value]
        if self._given is not None:
            return self._given
        text, bias = self.bias.value.strip(), None
        if text:
            try:
                bias = int(text)
            except ValueError:
                raise UsageError(f"bias is a whole number or empty, not {text[:40]!r}: type such as 15.") from None
        name = f"E{self.exponent_bits.value}M{self.significand_bits.value}"
        return Format(
            name, self.exponent_bits.value, self.significand_bits.value, bias, infinities=self.infinities.value
        )

    def _show_custom(self) -> None:
        self._custom.layout.display = None if self.format.value == CUSTOM else "none"

    def _state(self) -> dict:
        """What the page shows."""
        reading = self.reading
        return {
            "bits": [{"value": b.value, "field": b.field, "weight": b.weight} for b in bit_fields(self.code, self.fmt)],
            "colours": FIELD_COLOURS, "number": self.stored.text,
            "code": f"{self.code:#0{2 + -(-self.fmt.num_bits // 4)}x}", "message": self.message, "wrong": self._wrong,
            "spoken": short(reading.decimal, 30),
            "canStep": [reading.below[0] != self.code, reading.above[0] != self.code],
            "readings": [[label, words] for label, words in readings(reading, self.stored) if words],
        }


def _fields(stored: Stored) -> dict:
    return {name: getattr(stored, name) for name in stored.__dataclass_fields__}
