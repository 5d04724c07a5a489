package stack

// Exception is an error that a program told of.
type Exception struct {
	Type    string
	Message string
	Frames  []Frame // innermost call first
	// Explicit is a fingerprint that the program chose itself (attribute
	// "exception.fingerprint" or "error.fingerprint"), "" when it chose none.
	Explicit string
}

// Frame is one call of a stack. Its JSON has the names of parsedStack in the Details of
// AppExceptions.
type Frame struct {
	Level    int    `json:"level"`
	Method   string `json:"method"`
	Assembly string `json:"assembly,omitempty"` // package, module or assembly
	File     string `json:"fileName,omitempty"`
	Line     int    `json:"line,omitempty"`
	InApp    bool   `json:"inApp"`
}
