package tail

import (
	"encoding/json"
	"strconv"
	"strings"
)

// pod is what the name of a pod's folder says: <namespace>_<pod>_<uid>.
type pod struct{ namespace, name, uid string }

// parsePod reads the name of a pod's folder. None of the three parts has an underscore
// (kubernetes/kubernetes, pkg/kubelet/kuberuntime/helpers.go: BuildPodLogsDirectory).
func parsePod(folder string) (pod, bool) {
	parts := strings.Split(folder, "_")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return pod{}, false
	}
	return pod{parts[0], parts[1], parts[2]}, true
}

// logName is what the name of a log file says: "0.log" is the file that run 0 writes,
// "0.log.20260305-120102" one before it, "0.log.20260305-120102.gz" that one compressed
// (kubernetes/kubernetes, pkg/kubelet/logs/container_log_manager.go).
type logName struct {
	run     int
	rotated string // "" for the current file
	gz      bool
}

func parseName(name string) (logName, bool) {
	number, rest, ok := strings.Cut(name, ".log")
	if !ok || number == "" || len(number) > 9 {
		return logName{}, false
	}
	run, err := strconv.Atoi(number)
	if err != nil || run < 0 {
		return logName{}, false
	}
	n := logName{run: run}
	if rest == "" {
		return n, true
	}
	n.rotated, n.gz = strings.CutSuffix(rest, ".gz")
	// A file that is being compressed ends in .tmp: it is not whole yet.
	if !strings.HasPrefix(n.rotated, ".") || len(n.rotated) == 1 || strings.HasSuffix(n.rotated, ".tmp") {
		return logName{}, false
	}
	return n, true
}

// metadata returns column KubernetesMetadata as far as the node knows it; of is the length
// of a row that is not shown whole, 0 for others.
func metadata(uid string, of int) string {
	b, err := json.Marshal(struct {
		UID       string `json:"podUid"`
		Truncated bool   `json:"truncated,omitempty"`
		Bytes     int    `json:"originalBytes,omitempty"`
	}{uid, of > 0, of})
	if err != nil {
		return ""
	}
	return string(b)
}
