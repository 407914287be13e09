"""The link of a page: a table of its parameters, from which a view is opened and to which it is written."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app import state
from app.runs.library import first_run
from app.sharing.readers import PARAMETER, read_link
from app.sharing.retrain import extract_missing_runs, with_training
from app.ui.setting_widget import widget_value
from app.ui.single_choice import restore_single_choices
from cmcore.settings import Setting


def write_value(value: Any) -> str:
    """A value as most parameters write it; several values stand between commas."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a link.

    Attributes:
        name: in the address.
        key: of the session's value that it opens and mirrors.
        read: from text to the value; ValueError says in a clause what does not fit.
        default: the value that a link leaves out.
        write: from the value to text; None where it belongs to another parameter of the same key.
        always: whether it is written at its default too.
    """

    name: str
    key: str
    read: Callable[[str], Any]
    default: Any = None
    write: Callable[[Any], str | None] = write_value
    always: bool = False


def setting_parameters(settings: Iterable[Setting], key_of: Callable[[str], str]) -> Iterator[Parameter]:
    """The parameters "o.…" of settings, whose values lie under `key_of(name)` as their controls hold them."""
    for each in settings:
        default = widget_value(each, each.default)
        yield Parameter(f"{PARAMETER}{each.name}", key_of(each.name), each.read, default, each.write)


@dataclass(frozen=True)
class PageLink:
    """What the address says of a page's view.

    Attributes:
        page: its name.
        parameters: yields the table, in an order in which a parameter may depend on the values of those before it.
        selection: key of the runs that are chosen; a link carries how those were trained that no other session has.
        settings_of: the parameter that chooses what the names "o.…" are settings of.
        reset: keys that belong to a view and to no link: forgotten where another view is opened.
        begin: called then.
    """

    page: str
    parameters: Callable[[], Iterator[Parameter]]
    selection: str = ""
    settings_of: str = ""
    reset: tuple[str, ...] = ()
    begin: Callable[[], None] = lambda: None

    def open(self) -> list[str]:
        """The view, where this run of the page takes it from the link, and first values for all that has none.

        A link that names anything of the page is the whole view: what it leaves out is at its default. Returns a
        sentence for each thing that could not be followed.
        """
        restore_single_choices()
        if not state.takes_link(self.page):
            for parameter in self.parameters():
                state.set_default(parameter.key, parameter.default)
            return self._warnings(None)
        asked, problems = read_link()
        opens = not set(asked) <= set(state.BROWSERS) or state.went_back()
        if opens:
            self.begin()
            for key in self.reset:
                state.forget(key)
        if self.selection:
            problems += extract_missing_runs(self.selection, asked, self._first_selection())
        return self._warnings([*problems, *self._take(asked, opens=opens)])

    def write(self) -> None:
        """Mirror the view in the address bar; what is at its default is left out."""
        wanted = {}
        for parameter in self.parameters():
            value = state.value(parameter.key, parameter.default)
            text = parameter.write(value) if parameter.always or value != parameter.default else None
            if text is not None:
                wanted[parameter.name] = text
        state.set_link(with_training(self.selection, wanted) if self.selection else wanted)

    def _take(self, asked: Mapping[str, str], *, opens: bool) -> list[str]:
        """Set every parameter in turn: to what is asked for where it fits."""
        refused: dict[str, str] = {}
        read, settled = set(), set()
        for parameter in self.parameters():
            name, value = parameter.name, parameter.default
            read.add(name)
            followed = name in asked and not (name.startswith(PARAMETER) and self.settings_of in refused)
            if followed:
                try:
                    value = parameter.read(asked[name])
                except ValueError as problem:
                    refused[name], followed = refusal(problem), False
            if followed or (opens and parameter.key not in settled):
                state.set_value(parameter.key, value)
            settled.add(parameter.key)
            state.set_default(parameter.key, parameter.default)
        if self.settings_of and self.settings_of not in refused:
            unread = [name for name in asked if name.startswith(PARAMETER) and name not in read]
            refused |= {n: refusal(f"there is no parameter “{n.removeprefix(PARAMETER)[:40]}” here") for n in unread}
        return list(refused.values())

    def _first_selection(self) -> list[str]:
        first = next(parameter.default for parameter in self.parameters() if parameter.key == self.selection)
        return first if isinstance(first, list) else [first_run()]

    def _warnings(self, new: list[str] | None) -> list[str]:
        """What there is to say of the link that a view was opened from; `new` where that was in this run.

        A page runs by itself as numbers come in: the sentences stay until the view is another one.
        """
        shown = state.session_dict("link warnings")
        if new is not None:
            shown[self.page] = (new, None)
            return new
        now = {name: text for name, text in state.link().items() if name not in state.BROWSERS}
        problems, address = shown.get(self.page, ([], None))
        shown[self.page] = (problems if address in (None, now) else [], now)
        return shown[self.page][0]


def refusal(problem: ValueError | str) -> str:
    """The sentence about one parameter that could not be followed."""
    return f"One point of this link could not be followed: {problem}. The default is shown."
