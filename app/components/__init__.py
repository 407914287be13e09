"""Canvas components (Streamlit components v2): a Python wrapper with its JavaScript and CSS side by side."""
