"""`farmgate demo`: the whole farm at its main job, on real parts, in front of the user."""
