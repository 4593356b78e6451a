def write_trace(run, path):
    path.write_text("{}")
