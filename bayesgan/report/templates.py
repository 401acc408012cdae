"""The texts of this room with gaps in them: page.html of a report, card.md of an exported folder."""

import jinja2

__all__ = ["template"]


def template(name: str) -> jinja2.Template:
    """One of them; in .html what is filled in is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("bayesgan.report", "."), autoescape=name.endswith(".html"),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    ).get_template(name)
