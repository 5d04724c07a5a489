package page

// chainClass is the class of a station in a chain: what is open needs none.
func chainClass(s State) string {
	switch s {
	case Open, Note:
		return ""
	case Passing:
		return "now"
	case Held:
		return "held"
	case Shut:
		return "shut"
	}
	return "next"
}
