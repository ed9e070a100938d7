"""Pictures: values in, plotly figures out. Nothing is run and nothing is shown here."""
