package agent

import "runtime"

// architecture is the machine's architecture in the words of Agent.OSArchitecture.
func architecture() string {
	switch runtime.GOARCH {
	case "amd64":
		return "X64"
	case "386":
		return "X86"
	case "arm64":
		return "ARM64"
	}
	return "ARM"
}
