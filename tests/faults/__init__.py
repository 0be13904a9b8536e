"""A campaign of faults: damaged files, kills and full disks, with a table at the end."""
