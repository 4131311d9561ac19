"""Reading runs and reporting on them; imports nothing of abm's run side."""
