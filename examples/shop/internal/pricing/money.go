package pricing

import "fmt"

// Cents is an amount of money in hundredths of a euro.
type Cents int64

// String returns the amount with two decimals, such as "12.05" or "-0.30".
func (c Cents) String() string {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d", sign, c/100, c%100)
}

// Share returns c × num ÷ den rounded to a whole cent, half away from zero, as a shop till rounds. den must be above zero.
func (c Cents) Share(num, den int64) Cents {
	product := int64(c) * num
	if product < 0 {
		return -Cents((-product + den/2) / den)
	}
	return Cents((product + den/2) / den)
}
