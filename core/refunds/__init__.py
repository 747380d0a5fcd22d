"""Refunds: giving the money of card payments back."""
