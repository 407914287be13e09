"""Formulas of lessons as MathML, which browsers set by themselves: the part of TeX that such formulas use."""

import re
from collections.abc import Callable

from markupsafe import Markup

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
_LETTER_TABLE = (
    "alpha α beta β gamma γ delta δ epsilon ϵ zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ "
    "pi π rho ρ sigma σ tau τ upsilon υ phi ϕ chi χ psi ψ omega ω varepsilon ε vartheta ϑ varphi φ varrho ϱ "
    "varsigma ς Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω ell ℓ "
    "hbar ℏ nabla ∇ partial ∂ infty ∞ emptyset ∅"
)
_SIGN_TABLE = (
    "cdot ⋅ times × circ ∘ pm ± mp ∓ le ≤ leq ≤ ge ≥ geq ≥ ne ≠ neq ≠ approx ≈ sim ∼ simeq ≃ equiv ≡ "
    "propto ∝ in ∈ notin ∉ subset ⊂ cup ∪ cap ∩ to → rightarrow → leftarrow ← mapsto ↦ Rightarrow ⇒ iff ⇔ "
    "mid ∣ parallel ∥ perp ⟂ ll ≪ gg ≫ ldots … dots … cdots ⋯ ast ∗ star ⋆ otimes ⊗ oplus ⊕ forall ∀ "
    "exists ∃ Vert ‖ langle ⟨ rangle ⟩ lVert ‖ rVert ‖ sum ∑ prod ∏ int ∫ wedge ∧ vee ∨ setminus ∖ odot ⊙"
)
_NAME_TABLE = "log exp ln sin cos tan cot arccos arcsin arctan cosh sinh tanh min max inf sup lim det tr Pr arg"


def _pairs(table: str) -> dict[str, str]:
    words = table.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_LETTERS, _SIGNS, _NAMES = _pairs(_LETTER_TABLE), _pairs(_SIGN_TABLE), frozenset(_NAME_TABLE.split())
_BELOW = frozenset({"\\sum", "\\prod", *(f"\\{name}" for name in ("min", "max", "inf", "sup", "lim"))})
"""What takes its indices below and above where a formula stands alone."""
_ACCENTS = {"hat": "^", "bar": "¯", "tilde": "~", "dot": "˙", "vec": "→", "overline": "¯", "widehat": "^"}
_SPACES = {",": 0.167, ":": 0.222, ";": 0.278, "!": -0.167, " ": 0.25, "quad": 1.0, "qquad": 2.0}
_ALPHABETS = {
    "mathbb": (0x1D538, dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ", strict=True))),
    "mathcal": (0x1D49C, dict(zip("BEFHILMR", "ℬℰℱℋℐℒℳℛ", strict=True))),
    "mathbf": (0x1D400, {}),
}
DEEPEST = 40
"""Groups within groups."""
_UPRIGHT = ("mathrm", "text", "operatorname", "textrm")


class Unset(ValueError):
    """A formula that uses more of TeX than is set here; the message is what it uses."""


def mathml(tex: str, *, alone: bool = False) -> Markup:
    """The formula as a `math` element; `alone` for one on a line of its own. Raises :class:`Unset`."""
    reader = _Reader(_TOKEN.findall(tex), alone=alone)
    body = Markup("").join(reader.row(until=None))
    display = Markup(' display="block"') if alone else Markup("")
    return Markup("<math{}><mrow>{}</mrow></math>").format(display, body)


def _element(name: str, *parts: str) -> Markup:
    return Markup("<{0}>{1}</{0}>").format(name, Markup("").join(parts))


def _sign(text: str) -> Markup:
    return Markup('<mo stretchy="false">{}</mo>').format(text)


class _Reader:
    """Reads symbols from left to right."""

    def __init__(self, symbols: list[str], *, alone: bool) -> None:
        self.symbols, self.place, self.alone, self.depth = symbols, 0, alone, 0

    def peek(self) -> str | None:
        return self.symbols[self.place] if self.place < len(self.symbols) else None

    def next(self) -> str:
        symbol = self.peek()
        if symbol is None:
            raise Unset("something left unfinished")
        self.place += 1
        return symbol

    def row(self, until: str | None) -> list[Markup]:
        """Everything up to a symbol, which is read too, or to the end."""
        parts: list[Markup] = []
        while (symbol := self.peek()) != until:
            if symbol is None:
                raise Unset(f"no {until}")
            if symbol.isspace():
                self.next()
            else:
                parts.append(self.scripted())
        if until is not None:
            self.next()
        return parts

    def argument(self) -> Markup:
        """A group in braces, or the next piece."""
        self.skip_space()
        if self.peek() == "{":
            self.next()
            return _element("mrow", *self.row("}"))
        symbol = self.next()
        if symbol[0].isdigit() and len(symbol) > 1:  # of 12 an argument takes the 1
            self.place -= 1
            self.symbols[self.place] = symbol[1:]
            symbol = symbol[0]
        return self.piece(symbol)

    def plain(self) -> str:
        """A group in braces as it is written."""
        self.skip_space()
        if self.peek() != "{":
            return self.next()
        self.next()
        written = ""
        while (symbol := self.next()) != "}":
            written += symbol
        return written

    def skip_space(self) -> None:
        while (symbol := self.peek()) is not None and symbol.isspace():
            self.next()

    def scripted(self) -> Markup:
        """A piece with what stands below and above it."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unset("brackets nested so deeply")
        symbol = self.next()
        base = self.piece(symbol)
        low = high = None
        while (mark := self.peek()) in ("_", "^", "'"):
            self.next()
            if mark == "_":
                low = self.argument()
            else:
                high = _sign("′") if mark == "'" else self.argument()
        self.depth -= 1
        kinds = ("munder", "mover", "munderover") if self.alone and symbol in _BELOW else ("msub", "msup", "msubsup")
        if low is not None and high is not None:
            return _element(kinds[2], base, low, high)
        if low is not None:
            return _element(kinds[0], base, low)
        return base if high is None else _element(kinds[1], base, high)

    def piece(self, symbol: str) -> Markup:
        """What one symbol begins."""
        if symbol == "{":
            return _element("mrow", *self.row("}"))
        if symbol[0] == "\\" and len(symbol) > 1:
            return self.command(symbol[1:])
        if symbol[0].isdigit():
            return _element("mn", Markup.escape(symbol))
        if symbol.isalpha():
            return _element("mi", Markup.escape(symbol))
        if symbol in "^_&}\\#%$~":
            raise Unset(symbol)
        return _sign({"-": "−", "*": "∗", "'": "′"}.get(symbol, symbol))

    def command(self, name: str) -> Markup:
        """What a command says, with its arguments."""
        if name in _LETTERS:
            return _element("mi", _LETTERS[name])
        if name in _SIGNS:
            return _sign(_SIGNS[name])
        if name in _NAMES:
            return _element("mi", name) + self.breath()
        if name in _SPACES:
            return Markup('<mspace width="{}em"/>').format(_SPACES[name])
        if name in _UPRIGHT:
            return _element("mtext", Markup.escape(self.plain()))
        if name in _ACCENTS:
            return _element("mover", self.argument(), _sign(_ACCENTS[name]))
        if name in _ALPHABETS:
            return _element("mi", Markup.escape(_in_alphabet(name, self.plain())))
        further = _FURTHER.get(name)
        if further is None:
            raise Unset(f"\\{name}")
        return further(self)

    def breath(self) -> Markup:
        """A little room after the name of a function, unless a bracket or an index follows."""
        self.skip_space()
        after = self.peek()
        return Markup("") if after is None or after in "([_^{" else Markup('<mspace width="0.167em"/>')

    def fraction(self) -> Markup:
        return _element("mfrac", self.argument(), self.argument())

    def root(self) -> Markup:
        return _element("msqrt", self.argument())

    def fenced(self) -> Markup:
        """\\left … \\right: brackets as high as what they hold."""
        opening = self.fence()
        return _element("mrow", opening, *self.row("\\right"), self.fence())

    def fence(self) -> Markup:
        self.skip_space()
        symbol = self.next()
        named = {"\\{": "{", "\\}": "}", "\\|": "‖", ".": ""}.get(symbol, _SIGNS.get(symbol[1:], symbol))
        return Markup('<mo fence="true">{}</mo>').format(named)


_FURTHER: dict[str, Callable[[_Reader], Markup]] = {
    "frac": _Reader.fraction,
    "tfrac": _Reader.fraction,
    "sqrt": _Reader.root,
    "left": _Reader.fenced,
    "{": lambda _: _sign("{"),
    "}": lambda _: _sign("}"),
    "|": lambda _: _sign("‖"),
    "%": lambda _: _sign("%"),
    "$": lambda _: _sign("$"),
    "&": lambda _: _sign("&"),
    "#": lambda _: _sign("#"),
    "_": lambda _: _sign("_"),
}


def _in_alphabet(name: str, text: str) -> str:
    first, exceptions = _ALPHABETS[name]

    def letter(c: str) -> str:
        if c in exceptions:
            return exceptions[c]
        if "A" <= c <= "Z":
            return chr(first + ord(c) - ord("A"))
        return chr(first + 26 + ord(c) - ord("a")) if "a" <= c <= "z" else c

    return "".join(map(letter, text))
