"""A setting is a field of a dataclass: what --help, the checks and a resumed run need to know stands on that field."""

import argparse
import dataclasses
import math
import shlex
import types
import typing
from collections.abc import Callable, Collection, Mapping

from bayesgan.basics.errors import InputError

__all__ = [
    "add_flags", "as_flag", "check_stored", "check_value", "check_values", "finite", "flag_words", "given_flags",
    "kind_of", "option", "shown",
]


def option(
    default,
    help: str,
    *,
    group: str = "options",
    choices: Collection[str | int] | None = None,
    word: str | None = None,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    remedy: str = "",
    needs: tuple[str, Callable[[typing.Any], bool]] | None = None,
    resumable: bool = False,
    timing: bool = True,
    semi: bool = False,
):
    """A dataclass field that is a flag.

    Args:
        help: Its documentation; the default and the range are added.
        group: Heading in --help.
        choices: Words or numbers it may be; a mapping also says what each means.
        word: A word it may be in place of a number.
        least, most: Its range, both included.
        above: In place of `least`: the range begins just above it.
        remedy: What to do where a value is out of range, if that is not plain from the range.
        needs: Where it has a meaning, in words, and the test for it on the whole dataclass.
        resumable: A resumed run may change it: how far and where it goes, not what it samples.
        timing: It changes the shapes or the arithmetic of an iteration, so that the engines must be tried anew.
        semi: Only run_bgan_semi.py has it.
    """
    metadata = {
        "help": help, "group": group, "choices": choices, "word": word, "least": least, "most": most, "above": above,
        "remedy": remedy, "needs": needs, "resumable": resumable, "timing": timing, "semi": semi,
    }
    return dataclasses.field(default=default, metadata=metadata)


def check_value(field: dataclasses.Field, value) -> None:
    """Raises InputError for a word that is no choice, or a number outside the range, NaN included."""
    if value is None:
        return
    _, several = kind_of(field)
    for one in value if several else [value]:
        check_one(field, one)


def check_one(field: dataclasses.Field, value) -> None:
    """`check_value` of a field's one value, or of one among several."""
    rules = field.metadata
    if rules["word"] is not None and value == rules["word"]:
        return
    if rules["choices"] is not None and value not in rules["choices"]:
        raise InputError(f"--{field.name} must be one of: {', '.join(map(str, rules['choices']))}; got {value!r}")
    if bounds(rules) and (isinstance(value, bool) or not isinstance(value, (int, float))):
        other = f" or {rules['word']!r}" if rules["word"] is not None else ""
        raise InputError(f"--{field.name} must be a number{other}, got {value!r}")
    if not in_range(rules, value):
        raise InputError(f"--{field.name} must be in {bounds(rules)}, got {value}"
                         + (f"; {rules['remedy']}" if rules["remedy"] else ""))


def check_stored(settings) -> None:
    """`check_values`, and that every value is of its field's type: of settings that come from a file."""
    for field in dataclasses.fields(settings):
        kind, several = kind_of(field)
        value = getattr(settings, field.name)
        parts = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
        if value is None and type(None) in parts:
            continue
        if several and not isinstance(value, (list, tuple)):
            raise InputError(f"{field.name} must be a list, got {value!r}")
        for one in value if several else [value]:
            admitted = (int, float) if kind is float else (kind, str) if field.metadata["word"] else kind
            if not isinstance(one, admitted) or (isinstance(one, bool) and kind is not bool):
                raise InputError(f"{field.name} must be of type {kind.__name__}, got {one!r}")
        check_value(field, value)


def in_range(rules: Mapping, number) -> bool:
    """Whether a number obeys least, above and most; true of what has no range."""
    if rules["least"] is not None and not number >= rules["least"]:
        return False
    if rules["above"] is not None and not number > rules["above"]:
        return False
    return rules["most"] is None or number <= rules["most"]


def bounds(rules: Mapping) -> str:
    """The range as people write it, "" where there is none."""
    low = rules["above"] if rules["least"] is None else rules["least"]
    if low is None:
        return ""
    if rules["most"] is None:
        return f"{low}.." if rules["above"] is None else f"more than {low}"
    return f"{low}..{rules['most']}" if rules["above"] is None else f"({low}, {rules['most']}]"


def check_values(settings) -> None:
    """`check_value` for every field of a dataclass instance."""
    for field in dataclasses.fields(settings):
        check_value(field, getattr(settings, field.name))


def add_flags(
    parser: argparse.ArgumentParser, settings: type, semi: bool = False, only: Collection[str] | None = None
) -> None:
    """One flag a field, under the field's group; absent flags stay absent, so that data sets can bring defaults.

    Args:
        only: Names of the fields; None is all of them.
    """
    groups: dict[str, argparse._ActionsContainer] = {"options": parser}  # argparse's own heading
    for field in dataclasses.fields(settings):
        rules = field.metadata
        if rules["semi"] and not semi or only is not None and field.name not in only:
            continue
        if rules["group"] not in groups:
            groups[rules["group"]] = parser.add_argument_group(rules["group"])
        add_flag(groups[rules["group"]], field)


def finite(text: str) -> float:
    """A float of a command line, neither infinite nor NaN."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text!r}")
    return value


def add_flag(parser: argparse._ActionsContainer, field: dataclasses.Field) -> None:
    kind, several = kind_of(field)
    keywords = {"dest": field.name, "default": argparse.SUPPRESS, "help": shown(field).replace("%", "%%")}
    if kind is bool:  # a data set's or recipe's default can be switched off with --no-...
        switch = "store_true" if field.name.startswith("no_") else argparse.BooleanOptionalAction
        parser.add_argument(f"--{field.name}", action=switch, **keywords)
        return
    if several:
        keywords["nargs"] = "+"
    word, shown_kind = field.metadata["word"], kind.__name__.upper()
    kind = finite if kind is float else kind
    if word is not None:
        def number_or_word(text: str):
            return text if text == word else kind(text)

        number_or_word.__name__ = f"{shown_kind.lower()} or {word}"  # as argparse calls it
        parser.add_argument(f"--{field.name}", type=number_or_word, metavar=f"{shown_kind}|{word}", **keywords)
        return
    parser.add_argument(f"--{field.name}", type=kind, metavar=shown_kind, **keywords)


def kind_of(field: dataclasses.Field) -> tuple[type, bool]:
    """The type of a value, None aside, and whether there are several: list[T] or tuple[T, ...]."""
    kind = field.type
    if isinstance(kind, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    several = typing.get_origin(kind) in (list, tuple)
    return (typing.get_args(kind)[0] if several else kind), several


def shown(field: dataclasses.Field) -> str:
    """What --help says of a field."""
    rules, text = field.metadata, field.metadata["help"]
    if isinstance(rules["choices"], Mapping):
        text += "; " + "; ".join(f"{word}: {meaning}" for word, meaning in rules["choices"].items())
    elif rules["choices"] is not None:
        text += f"; one of: {', '.join(map(str, rules['choices']))}"
    notes = []
    if field.default is not None and field.default is not False:
        words = " ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        notes.append(f"default: {words}")
    if bounds(rules):
        notes.append(bounds(rules))
    return f"{text} ({'; '.join(notes)})" if notes else text


def flag_words(given: Mapping[str, object]) -> list[str]:
    """Names and values of fields as the words of a command line; what is None has none, and a no_... that is False."""
    words = []
    for name, value in given.items():
        if value is True:
            words.append(f"--{name}")
        elif value is False:
            words += [] if name.startswith("no_") else [f"--no-{name}"]
        elif value is not None:
            words += [f"--{name}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return words


def as_flag(name: str, value) -> str:
    """A value as a user would type it into a shell."""
    return shlex.join(flag_words({name: value}))


def given_flags(arguments: argparse.Namespace, settings: type) -> dict:
    """Of parsed arguments those that are fields of `settings` and were really given."""
    names = {field.name for field in dataclasses.fields(settings)}
    return {name: value for name, value in vars(arguments).items() if name in names}
