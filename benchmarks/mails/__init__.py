"""What a mail costs: the stage, the contestants, and a room for each row of the table."""
