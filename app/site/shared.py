"""The style and the scripts that all pages of a static site share."""

import json
from collections.abc import Mapping

from app.components.flow_map import FLOW_MAP_CODE
from app.components.particle_stage import STAGE_CODE, STAGE_HTML, STAGE_STYLE
from app.export.html_page import variables
from app.export.templates import html
from app.figures.theme import DARK, LIGHT, Theme
from app.site.files import HERE, Site

TERMS_CODE = HERE.parent / "components" / "terms.js"

_MOUNT = "export default function ("
"""How a component begins; in a script of the site its function needs a name instead."""
ICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="5" fill="{}"/></svg>'


def share_frame(site: Site) -> None:
    """Put them among the site's files."""
    colours = html("site/templates/colours.css.jinja", light=_colours(LIGHT), dark=_colours(DARK))
    style = str(colours) + (HERE / "site.css").read_text(encoding="utf-8")
    site.frame = {
        "style": site.share("shared", "site.css", style),
        "icon": site.share("shared", "icon.svg", ICON.format(LIGHT.model)),
        "script": site.share("shared", "site.js", _script()),
        "stage": site.share("shared", "stage.js", _stage_script()),
    }


def _script() -> str:
    """What every page does, and the words that are explained where they stand."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (TERMS_CODE, HERE / "site.js"))


def _colours(theme: Theme) -> Mapping[str, str]:
    """What Streamlit gives a component, and every colour by what it means."""
    meanings = ("data", "model", "exact", "error", "baseline", "bound", "ink", "paper", "hairline", "muted")
    runs = {f"--run-{k + 1}": colour for k, colour in enumerate(theme.runs)}
    return {**variables(theme), **{f"--{name}": getattr(theme, name) for name in meanings}, **runs}


def _stage_script() -> str:
    """The lab's stage as a classic script, since a module cannot be loaded from a file: window.labStage mounts it.

    What draws is started at once where a page has a map to draw from: the weights and the scene come meanwhile.
    """
    if STAGE_CODE.count(_MOUNT) != 1:
        raise AssertionError("The stage has one entrance, which the site gives a name.")
    code = f"{FLOW_MAP_CODE}\n{STAGE_CODE.replace(_MOUNT, 'function mount(')}"
    looks = f"html: {json.dumps(STAGE_HTML)}, style: {json.dumps(STAGE_STYLE)}"
    takes = "addMap: (weights) => addFlowMap(readMessage(weights))"
    starts = """if (document.querySelector('[data-scenes*="maps/"]')) window.consistencyLabMaps ??= openFlowMaps();"""
    return f"(() => {{\n{code}\n{starts}\nwindow.labStage = {{ mount, {takes}, {looks} }};\n}})();\n"
