"""The Streamlit app, to hear the answers."""
