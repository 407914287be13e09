"""The Streamlit front end of Consistency Lab. It draws what :mod:`cmcore` computes and knows no mathematics."""
