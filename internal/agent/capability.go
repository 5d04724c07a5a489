package agent

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// tools are the programs that an agent looks for, by the name of the capability where that
// is another than the program's (as the service's agent names them).
var tools = map[string]string{
	"ant": "ant", "bash": "bash", "cargo": "cargo", "clang": "clang", "cmake": "cmake", "curl": "curl", "docker": "docker", "dotnet": "dotnet", "gcc": "gcc",
	"git": "git", "go": "go", "gradle": "gradle", "grunt": "grunt", "gulp": "gulp", "helm": "helm", "java": "java", "jq": "jq", "kubectl": "kubectl",
	"make": "make", "maven": "mvn", "node.js": "node", "npm": "npm", "perl": "perl", "php": "php", "podman": "podman", "powershell": "pwsh", "pwsh": "pwsh",
	"python": "python", "python3": "python3", "rake": "rake", "ruby": "ruby", "rustc": "rustc", "sh": "sh", "subversion": "svn", "tar": "tar",
	"terraform": "terraform", "unzip": "unzip", "yarn": "yarn", "zip": "zip",
}

// capabilities are what this host has: its system, the tools that steps would find, and what
// its owner says, which goes over the rest.
func (a *Agent) capabilities() map[string]string {
	host, err := os.Hostname()
	if err != nil {
		host = a.cfg.Name
	}
	out := map[string]string{
		"Agent.OS": "Linux", "Agent.OSArchitecture": architecture(), "Agent.Name": a.cfg.Name, "Agent.ComputerName": host, "Agent.Version": a.cfg.Version,
	}
	if runtime.GOOS == "darwin" {
		out["Agent.OS"] = "Darwin"
	}
	path := filepath.SplitList(a.baseEnv(&workspace{dir: a.cfg.Dir})["PATH"])
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		if found := lookup(path, tools[name]); found != "" {
			out[name] = found
		}
	}
	maps.Copy(out, a.cfg.Capabilities)
	return out
}

// lookup finds a program in folders, "" when none has it.
func lookup(path []string, program string) string {
	for _, dir := range path {
		full := filepath.Join(dir, program)
		if info, err := os.Stat(full); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return full
		}
	}
	return ""
}
