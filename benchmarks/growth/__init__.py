"""How what a mail or an event costs grows, and what each thing that waits weighs in Redis."""
