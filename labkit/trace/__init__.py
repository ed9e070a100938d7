"""What happened and when: events, timelines, measures, trace files."""
