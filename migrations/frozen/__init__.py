"""What a migration once took from the product, as it was then: copies that nothing changes any more."""
