// kind, as its own main does; built here because build-binaries.sh lets it wait longer for a node that is emulated.
package main

import "sigs.k8s.io/kind/cmd/kind/app"

func main() {
	app.Main()
}
