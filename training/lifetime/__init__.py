"""What a customer will still buy, and what that is worth."""
