"""Windows → instants: zones, recurrence, calendars. Pure: `now` is an argument."""
