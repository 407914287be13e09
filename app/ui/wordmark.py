"""The lab's name, as the picture that Streamlit wants a logo to be."""

from app.figures.theme import theme


def wordmark(theme_name: str | None) -> str:
    """An SVG of “Consistency·Lab” in ink, the dot in the colour of the model."""
    colours = theme(theme_name)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="168" height="28" viewBox="0 0 168 28" role="img">'
        "<title>Consistency Lab</title>"
        f'<text x="0" y="20" fill="{colours.ink}" font-size="18" font-weight="700" letter-spacing="-0.2" '
        "font-family=\"Inter, 'Source Sans Pro', system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\">"
        f'Consistency<tspan fill="{colours.model}">·</tspan>Lab</text></svg>'
    )
