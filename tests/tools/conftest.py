from hypothesis import settings

# A busy machine is no failure: time limits are tested where they are the subject.
settings.register_profile("tools", deadline=None)
settings.load_profile("tools")
