"""Reports: functions from a run to text, figures and HTML."""
