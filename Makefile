# Each target is one or two commands that also work when typed by hand.
.PHONY: site lab lab-down test test-rest test-part test-quick lint unit unit-quick unit-lengthy lab-checks molecule drills benchmarks
.PHONY: lifecycle profile

# Make a folder of your own for a cluster, with an inventory to fill in: `make site DIR=../shop`.
site: bootstrap
	.venv/bin/ansible-playbook playbooks/make_site.yml -e '{"folder": "$(DIR)"}'

# Make the lab, deploy the cluster on it, send 1,000 tasks through it, and say where to look.
lab: bootstrap
	lab/tour

# Remove everything that `make lab` made, except Debian's packages, .venv and the caches of built releases.
lab-down: bootstrap
	.venv/bin/ansible-playbook lab/destroy.yml -e lab_remove_image=true

# Everything: first what finds a mistake within minutes, then the rest side by side. `make test T=haproxy` is for one role, on the running
# lab.
test: $(if $(T),test-part,lint unit-quick test-rest)

# The lab's tests, and beside them the lengthy tests without hosts.
test-rest: bootstrap
	lab/bootstrap redis-server rabbitmq-server
	. .venv/bin/activate && molecule/side-by-side

# One role: lint, its tests that need no hosts, its deployment on the running lab, and its checks there.
test-part: lint
	. .venv/bin/activate && pytest -k $(T) && ansible-playbook playbooks/site.yml --tags $(T) && \
	    pytest molecule/tests -k $(T) -m "not lengthy and not django"

# The daily loop, side by side: lint, the quick tests that need no hosts, and the running lab's checks that change nothing.
test-quick: bootstrap
	$(MAKE) --no-print-directory --jobs --output-sync=target lint unit-quick lab-checks

lab-checks: bootstrap
	. .venv/bin/activate && pytest molecule/tests -m "not disruptive and not lengthy and not django"

# A process for each core; the tests of one file stay together, as they share what the file prepares.
SIDE_BY_SIDE = --numprocesses auto --dist loadfile

lint: bootstrap
	. .venv/bin/activate && ruff check && ruff format --check && yamllint --strict . && ansible-lint --strict --offline

unit: unit-quick unit-lengthy

unit-quick:
	lab/bootstrap redis-server rabbitmq-server
	. .venv/bin/activate && pytest $(SIDE_BY_SIDE) -m "not lengthy" && pytest app/django && pytest tests/test_terminal.py

unit-lengthy:
	lab/bootstrap redis-server rabbitmq-server
	. .venv/bin/activate && pytest $(SIDE_BY_SIDE) -m lengthy

# The tests look at pages with a browser.
test test-rest molecule: PACKAGES = chromium
molecule: bootstrap
	. .venv/bin/activate && molecule test && molecule test --scenario-name single

# Break each part of the running lab under load, count every task, and print a table; three drills again with stock settings.
# About an hour, ten minutes of which are the storm; `RUNS=3` for three times each.
RUNS = 1
drills: bootstrap
	. .venv/bin/activate && playbooks/drills/all --stock $(RUNS)

# Operations on the running lab under a load of 50 tasks a second, each counted: new secrets, and TLS between brokers. An hour.
lifecycle: bootstrap
	. .venv/bin/activate && pytest -v molecule/tests -m lifecycle

# Measure messages and publishers on the running lab; prints two tables.
benchmarks: bootstrap
	. .venv/bin/activate && ansible-playbook playbooks/benchmarks.yml

# Measure on the running lab where the time of a deployment, a check and a status goes; prints tables.
profile: bootstrap
	. .venv/bin/activate && lab/profile

.PHONY: bootstrap
bootstrap:
	lab/bootstrap $(PACKAGES)
