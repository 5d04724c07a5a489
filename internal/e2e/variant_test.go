package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// variant is a change to the chart of examples/shop, of one workload.
type variant struct {
	name     string
	workload string // "Deployment/cart"
	refused  []string
	change   func(chart) error
}

// chart is a copy of the sample's chart.
type chart struct{ dir string }

const serviceTemplate = "templates/_service.tpl"

// replace puts text in the place of some that is there once.
func (c chart) replace(from, to string) error {
	path := filepath.Join(c.dir, serviceTemplate)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(b), from); n != 1 {
		return fmt.Errorf("%s holds %q %d times", serviceTemplate, from, n)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(b), from, to, 1)), 0o644)
}

// after adds lines of the cart alone after a line that is there once.
func after(line string, lines ...string) func(chart) error {
	return func(c chart) error {
		return c.replace(line, line+"\n{{- if eq .name \"cart\" }}\n"+strings.Join(lines, "\n")+"\n{{- end }}")
	}
}

// Lines of the sample's template after which a variant adds its own.
const (
	inPod         = "      enableServiceLinks: false"
	inPodSecurity = "        runAsGroup: 65532"
	inSecurity    = "            readOnlyRootFilesystem: true"
	inDrop        = "              drop: [ALL]"
	inPort        = "              containerPort: 8080"
)

func all(changes ...func(chart) error) func(chart) error {
	return func(c chart) error {
		for _, change := range changes {
			if err := change(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// privileged makes the cart's container privileged; the escalation must go, or the object
// contradicts itself.
func privileged(c chart) error {
	return c.replace("            allowPrivilegeEscalation: false",
		"            privileged: {{ eq .name \"cart\" }}\n            allowPrivilegeEscalation: {{ eq .name \"cart\" }}")
}

// batch adds a Job or a CronJob beside the services.
func batch(head, indent string) func(chart) error {
	spec := `template:
  spec:
    restartPolicy: Never
    containers:
      - name: task
        image: {{ printf "%s/%s/cart@%s" .Values.registry .Values.project .Values.cart.digest | quote }}
        securityContext: {privileged: true}
`
	return func(c chart) error {
		var b strings.Builder
		b.WriteString(head)
		for line := range strings.Lines(spec) {
			b.WriteString(indent + line)
		}
		return os.WriteFile(filepath.Join(c.dir, "templates/task.yaml"), []byte(b.String()), 0o644)
	}
}

func variants() []variant {
	const cart = "Deployment/cart"
	init := after(inPod, "      initContainers:", "        - name: prepare", "          image: prepare:1", "          securityContext: {privileged: true}")
	return []variant{
		{"privileged", cart, []string{"privileged"}, privileged},
		{"host-network", cart, []string{"host-namespaces"}, after(inPod, "      hostNetwork: true")},
		{"host-pid", cart, []string{"host-namespaces"}, after(inPod, "      hostPID: true")},
		{"host-path", cart, []string{"host-path"}, after(inPod, "      volumes: [{name: host, hostPath: {path: /}}]")},
		{"capability", cart, []string{"capabilities"}, after(inDrop, "              add: [SYS_ADMIN]")},
		{"host-port", cart, []string{"host-ports"}, after(inPort, "              hostPort: 8089")},
		{"proc-mount", cart, []string{"proc-mount"}, after(inSecurity, "            procMount: Unmasked")},
		{"seccomp", cart, []string{"seccomp"}, after(inSecurity, "            seccompProfile: {type: Unconfined}")},
		{"sysctl", cart, []string{"sysctls"}, after(inPodSecurity, "        sysctls: [{name: kernel.msgmax, value: \"65536\"}]")},
		{"apparmor", cart, []string{"apparmor"}, after(inSecurity, "            appArmorProfile: {type: Unconfined}")},
		{"selinux", cart, []string{"selinux"}, after(inPodSecurity, "        seLinuxOptions: {type: spc_t}")},
		{"init-container", cart, []string{"privileged"}, init},
		{"several", cart, []string{"capabilities", "host-namespaces", "host-path", "privileged"}, all(privileged, after(inDrop, "              add: [NET_ADMIN]"),
			after(inPod, "      hostIPC: true", "      volumes: [{name: run, hostPath: {path: /run}}]"))},
		{"job", "Job/task", []string{"privileged"}, batch("apiVersion: batch/v1\nkind: Job\nmetadata: {name: task}\nspec:\n  suspend: true\n", "  ")},
		{"cron-job", "CronJob/task", []string{"privileged"},
			batch("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: task}\nspec:\n  schedule: \"0 0 1 1 *\"\n  jobTemplate:\n    spec:\n", "      ")},
		{"longer-farewell", cart, nil, func(c chart) error {
			return c.replace("terminationGracePeriodSeconds: 8", "terminationGracePeriodSeconds: 9")
		}},
		{"proc-mount-of-a-user-namespace", cart, nil, all(after(inPod, "      hostUsers: false"), after(inSecurity, "            procMount: Unmasked"))},
		{"harmless-volume", cart, nil, after(inPod, "      volumes: [{name: work, emptyDir: {}}, {name: about, downwardAPI: {}}]")},
		{"harmless-capability", cart, nil, all(after(inDrop, "              add: [NET_BIND_SERVICE]"),
			after(inPodSecurity, "        sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: \"80\"}]"))},
	}
}

// invalid is what Kubernetes itself has against a variant, before it asks any policy; "" for
// nothing.
func (v variant) invalid() string {
	if v.name == "proc-mount" {
		return "`hostUsers` must be false to use `Unmasked`"
	}
	return ""
}
