"""Print where the time of a verb goes, by function and by Redis command: `profile.py VERB`."""

from verb_profiles.report import main

if __name__ == "__main__":
    main()
