package work

import (
	"fmt"
	"strings"
)

// A place in the backlog is a text of digits: a whole part of wholeDigits digits and a
// fraction of any length that does not end with 0. Places are ordered by bytes. There are
// only digits in it because every collation of a database sorts those alike. Between two
// places there is always another one, so that a move writes one row.
const (
	wholeDigits = 15
	wholeStep   = 1_000_000 // between neighbours at an end: room for some before a fraction is needed
	wholeFirst  = 500_000_000_000_000
	wholeMost   = 999_999_999_999_999
	// maxPlace is the longest place. It is reached only by hundreds of moves to one and the
	// same gap; the project's places are then written anew. A call that moves maxBulk items
	// must find room below it.
	maxPlace = 400
)

// Between returns a place after a and before b. "" stands for the beginning and for the end.
// It is an error when a is not before b, when one of them is no place, or when there is no
// room at an end.
func Between(a, b string) (string, error) {
	if a != "" && !isPlace(a) || b != "" && !isPlace(b) || a != "" && b != "" && a >= b {
		return "", fmt.Errorf("there is no place between %q and %q", a, b)
	}
	switch {
	case a == "" && b == "":
		return whole(wholeFirst), nil
	case b == "":
		if n := number(a) + wholeStep; n <= wholeMost {
			return whole(n), nil
		}
	case a == "":
		if n := number(b) - wholeStep; n >= 0 {
			return whole(n), nil
		}
	default:
		return inside(a, b), nil
	}
	return "", fmt.Errorf("there is no place between %q and %q", a, b)
}

// inside is Between of two places.
func inside(a, b string) string {
	na, nb := number(a), number(b)
	switch {
	case nb-na > 1:
		return whole(na + (nb-na)/2)
	case nb == na:
		return whole(na) + fraction(a[wholeDigits:], b[wholeDigits:])
	}
	return whole(na) + fraction(a[wholeDigits:], "")
}

// fraction returns a short text of digits between a and b, of which none ends with 0; b ""
// is one. a is less than b.
func fraction(a, b string) string {
	var out strings.Builder
	for {
		da, db := 0, 10
		if a != "" {
			da = int(a[0] - '0')
		}
		if b != "" {
			db = int(b[0] - '0')
		}
		switch {
		case db-da > 1:
			out.WriteByte(byte('0' + (da+db)/2))
			return out.String()
		case db-da == 1 && len(b) > 1:
			out.WriteByte(b[0])
			return out.String()
		}
		out.WriteByte(byte('0' + da))
		a = a[min(len(a), 1):]
		if db != da {
			b = "" // What follows is free upwards.
		} else {
			b = b[min(len(b), 1):]
		}
	}
}

func whole(n int64) string { return fmt.Sprintf("%0*d", wholeDigits, n) }

// number is the whole part of a place.
func number(place string) int64 {
	var n int64
	for _, c := range []byte(place[:wholeDigits]) {
		n = 10*n + int64(c-'0')
	}
	return n
}

func isPlace(s string) bool {
	if len(s) < wholeDigits || len(s) > wholeDigits && s[len(s)-1] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
