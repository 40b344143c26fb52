r"""LaTeX to plain text, as PRM800K's grader has it done by pylatexenc.

Formulas lose their layout: `\frac{a}{b}` is `a/b`, `\sqrt{x}` is `√(x)`, a symbol is its character, a group is its
content, and a macro that is not known is dropped while what follows it stays (`\cot x` is `x`). What pylatexenc
(phfaist/pylatexenc, `latex2text`) knows and the answers of mathematical data sets never hold is not known here.
"""

from __future__ import annotations

import re
import unicodedata

_GREEK = (
    "alpha beta gamma delta zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon chi psi omega"
)
_SYMBOLS = (
    "epsilon ϵ Epsilon Ε varepsilon ε vartheta ϑ varpi ϖ varrho ϱ varsigma ς phi ϕ Phi Φ varphi φ varkappa ϰ "
    "digamma ϝ ell ℓ hbar ħ hslash ℏ wp ℘ aleph ℵ beth ℶ partial ∂ nabla ∇ forall ∀ exists ∃ nexists ∄ complement ∁ "
    "varnothing ∅ emptyset ∅ in ∈ notin ∉ ni ∋ infty ∞ propto ∝ prime ' backprime ‵ mho ℧ surd √ "
    "sum ∑ prod ∏ coprod ∐ int ∫ iint ∬ iiint ∭ oint ∮ setminus ∖ smallsetminus ∖ ast ∗ star ⋆ circ ∘ bullet ∙ "
    "cdot · times × div ÷ pm ± mp ∓ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙ bigoplus ⊕ bigotimes ⊗ amalg ⨿ "
    "cap ∩ cup ∪ bigcap ⋂ bigcup ⋃ uplus ⊎ sqcap ⊓ sqcup ⊔ wedge ∧ vee ∨ bigwedge ⋀ bigvee ⋁ veebar ⊻ barwedge ⌅ "
    "lnot ¬ top ⊤ perp ⊥ vdash ⊢ dashv ⊣ therefore ∴ because ∵ parallel ∥ nparallel ∦ mid | nmid ∤ "
    "sim ∼ backsim ∽ simeq ≃ approx ≈ approxeq ≊ cong ≅ asymp ≍ doteq ≐ triangleq ≜ neq ≠ equiv ≡ "
    "le ≤ ge ≥ leq ≤ geq ≥ leqslant ⩽ geqslant ⩾ leqq ≦ geqq ≧ lneqq ≨ gneqq ≩ lneq ⪇ gneq ⪈ ll ≪ gg ≫ "
    "nless ≮ ngtr ≯ nleq ≰ ngeq ≱ lesssim ≲ gtrsim ≳ lessgtr ≶ gtrless ≷ prec ≺ succ ≻ preceq ≼ succeq ≽ "
    "subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ nsubseteq ⊈ nsupseteq ⊉ subsetneq ⊊ supsetneq ⊋ Subset ⋐ Supset ⋑ "
    "sqsubset ⊏ sqsupset ⊐ sqsubseteq ⊑ sqsupseteq ⊒ trianglelefteq ⊴ trianglerighteq ⊵ bowtie ⋈ ltimes ⋉ rtimes ⋊ "
    "angle ∠ rightangle ∟ measuredangle ∡ sphericalangle ∢ square □ blacksquare ▪ diamond ♢ lozenge ◊ bigcirc ◯ "
    "bigtriangleup △ bigtriangledown ▽ triangledown ▿ triangleleft ◃ triangleright ▹ flat ♭ natural ♮ sharp ♯ "
    "ldots … dots … dotsc … dotsb … dotsm … dotsi … dotso … cdots ⋯ vdots ⋮ ddots ⋱ "
    "langle ⟨ rangle ⟩ lvert | rvert | vert | lVert ‖ rVert ‖ Vert ‖ lbrace { rbrace } lfloor ⌊ rfloor ⌋ "
    "lceil ⌈ rceil ⌉ ulcorner ⌜ urcorner ⌝ llcorner ⌞ lrcorner ⌟ "
    "to → rightarrow → leftarrow ← uparrow ↑ downarrow ↓ leftrightarrow ↔ updownarrow ↕ longrightarrow ⟶ "
    "longleftarrow ⟵ longleftrightarrow ⟷ Rightarrow ⇒ Leftarrow ⇐ Uparrow ⇑ Downarrow ⇓ Leftrightarrow ⇔ "
    "Longrightarrow ⟹ Longleftarrow ⟸ Longleftrightarrow ⟺ mapsto ↦ longmapsto ⟼ hookleftarrow ↩ hookrightarrow ↪ "
    "nearrow ↗ searrow ↘ swarrow ↙ nwarrow ↖ rightharpoonup ⇀ leftharpoonup ↼ rightleftharpoons ⇌ "
    "dag † dagger † backslash \\ textbackslash \\ textdegree ° textcelsius ℃ textdollar $ texteuro € textcent ¢ "
    "textpm ± texttimes × textdiv ÷ textmu µ textonehalf ½ textendash – textemdash — textellipsis … textbullet • "
    "oe œ OE Œ ae æ AE Æ aa å AA Å o ø O Ø ss ß L Ł l ł i ı j ȷ"
)
_FUNCTIONS = (
    "cos sin tan arccos arcsin arctan cosh sinh tanh arccosh arcsinh arctanh ln log exp max min sup inf lim".split()
)
_ACCENTS = {
    **dict(zip("'`\"^~=.", "\u0301\u0300\u0308\u0302\u0303\u0304\u0307", strict=True)),
    **dict(zip("cHkbdruv", "\u0327\u030b\u0328\u0331\u0323\u030a\u0306\u030c", strict=True)),
    "vec": "\u20d7",
    "dot": "\u0307",
    "ddot": "\u0308",
    "hat": "\u0302",
    "check": "\u030c",
    "breve": "\u0306",
    "acute": "\u0301",
    "grave": "\u0300",
    "tilde": "\u0303",
    "bar": "\u0304",
    "not": "\u0338",
}
_ALPHABETS = {
    "mathbf": "BOLD",
    "mathit": "ITALIC",
    "mathsf": "SANS-SERIF",
    "mathtt": "MONOSPACE",
    "mathbb": "DOUBLE-STRUCK",
    "mathcal": "SCRIPT",
    "mathscr": "SCRIPT",
    "mathfrak": "FRAKTUR",
}
_KEPT = frozenset(
    "text textrm textit textbf textsc textsl emph mathrm ensuremath overline underline widehat widetilde wideparen "
    "overleftarrow overrightarrow overleftrightarrow underleftarrow underrightarrow underleftrightarrow overbrace "
    "underbrace".split()
)
_TEXTS = frozenset("text textrm textit textbf textsc textsl emph mathrm".split())
_NEEDY = frozenset({"frac", "sqrt", *_ACCENTS}) | _KEPT - _TEXTS
_DROPPED = {
    **dict.fromkeys("mbox textsf texttt textmd textup label hspace vspace".split(), 1),
    **dict.fromkeys("hphantom vphantom xleftarrow xrightarrow color".split(), 1),
}
_OPTIONAL = frozenset("hphantom vphantom xleftarrow xrightarrow color sqrt \\".split())
_STARRED = frozenset("\\ hspace vspace".split())
_MATRICES = frozenset("array pmatrix bmatrix smallmatrix psmallmatrix bsmallmatrix".split())
_ENVIRONMENT_ARGUMENTS = {"array": 1, "tabular": 1, "alignat": 1, "alignat*": 1}
_CHARACTERS = {
    "\\": "\n", ",": " ", ";": " ", ":": " ", " ": " ", "!": "", "-": "\u00ad",
    "&": "&", "$": "$", "{": "{", "}": "}", "%": "%", "#": "#", "_": "_",
}  # fmt: skip
_SPECIALS = {"&": "   ", "~": "\u00a0", "``": "“", "''": "”", "--": "–", "---": "—", "!`": "¡", "?`": "¿"}

_TOKEN = re.compile(r"\\([a-zA-Z]+)\s*|\\(.)|(---?|``|''|!`|\?`|[&~{}$])|(%[^\n]*)|([^\\{}&~$%`'!?-]+|.)", re.DOTALL)


def _symbols() -> dict[str, str]:
    words = _SYMBOLS.split()
    table = dict(zip(words[::2], words[1::2], strict=True))
    for name in _GREEK.split():
        letter = "LAMDA" if name == "lambda" else name.upper()
        table[name] = unicodedata.lookup(f"GREEK SMALL LETTER {letter}")
        table[name.capitalize()] = unicodedata.lookup(f"GREEK CAPITAL LETTER {letter}")
    return {**table, **{name: name for name in _FUNCTIONS}, "quad": "  ", "qquad": "    "}


_TABLE = _symbols()


class _UnreadableError(Exception):
    """A macro lacks an argument that it needs, where pylatexenc fails or writes what no formula holds."""


def latex_to_text(latex: str) -> str | None:
    r"""The plain text of a formula.

    None where it is nested too deeply, and where a macro lacks an argument: at the end of the formula, or as another
    one's argument without braces (`\frac1\sqrt2`).
    """
    try:
        return _Reader(latex).text()
    except (RecursionError, _UnreadableError):
        return None


class _Reader:
    """Reads a formula from left to right."""

    def __init__(self, latex: str) -> None:
        self._latex = latex
        self._position = 0

    def text(self, end: str = "") -> str:
        """The text up to a closing brace, to the end of an environment, or to the end of the formula."""
        written: list[str] = []
        while self._position < len(self._latex):
            token = self._next()
            if end and self._latex.startswith(end, token.start()):
                self._position = token.start() + len(end)
                break
            written.append(self._written(token))
        return "".join(written)

    def _next(self) -> re.Match[str]:
        token = _TOKEN.match(self._latex, self._position)
        assert token is not None  # its last alternative is any character
        self._position = token.end()
        return token

    def _written(self, token: re.Match[str]) -> str:
        name, character, special, comment, plain = token.groups()
        if name is not None or character is not None:
            return self._macro(name or character)
        if special is not None:
            return self.text("}") if special == "{" else _SPECIALS.get(special, "")
        return "" if comment is not None or plain == "\\" else str(plain)

    def _macro(self, name: str) -> str:
        if name == "begin":
            return self._environment()
        if name == "end":  # of nothing that was begun
            if "}" not in self._latex[self._position :]:
                return "\\end"
            self._argument()
            return ""
        if name in _STARRED:
            self._skip("*")
        if name in _OPTIONAL and self._skip("["):
            close = self._latex.find("]", self._position)
            self._position = len(self._latex) if close < 0 else close + 1
        needed = name in _NEEDY
        if name == "frac":
            return f"{self._argument(needed)}/{self._argument(needed)}"
        if name == "sqrt":
            return f"√({self._argument(needed)})"
        if name in _KEPT:
            return self._argument(needed)
        if name in _ALPHABETS:
            return "".join(_styled(letter, _ALPHABETS[name]) for letter in self._argument())
        if name in _ACCENTS:
            letters = self._argument(needed).strip()
            return "".join(unicodedata.normalize("NFC", letter + _ACCENTS[name]) for letter in letters)
        for _ in range(_DROPPED.get(name, 0)):
            self._argument()
        return _TABLE.get(name, _CHARACTERS.get(name, ""))

    def _argument(self, needed: bool = False) -> str:
        """A group's content, or a single character or macro without its arguments; nothing at the end of a group."""
        self._skip("")
        if self._position == len(self._latex):
            if needed:
                raise _UnreadableError
            return ""
        if self._latex[self._position] == "}":
            return ""
        token = self._next()
        name, character, special, _, plain = token.groups()
        if (name or character) in _NEEDY:
            raise _UnreadableError
        if special == "{":
            return self.text("}")
        if plain is not None:
            self._position = token.start() + 1
            return str(plain[0])
        if special is not None:
            return _SPECIALS.get(special, "")
        return _TABLE.get(name, "") if character is None else _CHARACTERS.get(character, "")

    def _skip(self, mark: str) -> bool:
        """Passes over spaces and a mark, if it is the next thing."""
        position = self._position
        while position < len(self._latex) and self._latex[position].isspace():
            position += 1
        if not self._latex.startswith(mark, position):
            return False
        self._position = position + len(mark)
        return True

    def _environment(self) -> str:
        name = self._argument()
        for _ in range(_ENVIRONMENT_ARGUMENTS.get(name, 0)):
            self._argument()
        end = f"\\end{{{name}}}"
        if name not in _MATRICES:
            return self.text(end)
        rows: list[list[str]] = [[""]]
        while self._position < len(self._latex):
            token = self._next()
            if self._latex.startswith(end, token.start()):
                self._position = token.start() + len(end)
                break
            if token[3] == "&":
                rows[-1].append("")
            elif token[2] == "\\":
                self._macro("\\")
                rows.append([""])
            else:
                rows[-1][-1] += self._written(token)
        return f"[ {'; '.join(' '.join(cell.strip() for cell in row if cell) for row in rows)} ]"


def _styled(letter: str, style: str) -> str:
    """A letter of a mathematical alphabet; the few that Unicode had before are named without "mathematical"."""
    if not (letter.isascii() and letter.isalpha()):
        return letter
    case = "CAPITAL" if letter.isupper() else "SMALL"
    older = {"FRAKTUR": "BLACK-LETTER"}.get(style, style)
    for name in (f"MATHEMATICAL {style} {case} {letter.upper()}", f"{older} {case} {letter.upper()}"):
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return letter
