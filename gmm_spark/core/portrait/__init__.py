"""What a table's rows look like beside a mixture: sums that pictures and reports are drawn from."""
