"""Values in, plotly figures out: pure functions, no Streamlit and no torch."""
