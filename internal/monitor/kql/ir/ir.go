package ir

// Render is how the result wishes to be drawn.
type Render struct {
	Chart      string            `json:"chart"` // timechart, barchart, columnchart, piechart, table, …
	Properties map[string]string `json:"properties,omitempty"`
}

// Query is a bound query.
type Query struct {
	Rel    Rel
	Render *Render
}
