"""The studio's own parts that Streamlit does not have."""
