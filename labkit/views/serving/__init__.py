"""Pictures of serving: values in, plotly figures out."""
