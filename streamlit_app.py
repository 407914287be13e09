"""Consistency Lab: `streamlit run streamlit_app.py`.

Streamlit loads this file once as a module, for the server, and runs it as a script for whoever opens the page.
"""

import streamlit as st
from starlette.middleware import Middleware

from app.hosting.headers import SecurityHeaders

if __name__ == "__main__":
    from app.main import main

    main()
else:
    app = st.App(__file__, middleware=[Middleware(SecurityHeaders)])
