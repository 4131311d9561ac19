"""What a run on many ranks will take, before it starts; docs/scaling.md derives it. Nothing of weight here."""
