"""Three sites to put the app's pages into: no base of their own, a Bootstrap-like one, a Tailwind-like one."""
