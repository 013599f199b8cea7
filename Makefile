# Few verbs, the same ones CI calls. Everything is done by deploy/stack/setup.sh, because make splits paths at spaces.
# Settings: PORT=8000 VAR_DIR=var SIMULATED_PI=0, and DATABASE_URL, REDIS_URL, CELERY_BROKER_URL, MQTT_URL for servers of your own.
.DEFAULT_GOAL := help
.PHONY: help up test lint check-deploy bench soak manage lock clean
SETUP := ./deploy/stack/setup.sh

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1	/'

up: ## install what is missing, start everything, print the addresses; Ctrl-C stops it
	@$(SETUP) run -m deploy.stack up

test: ## every test, on servers of its own; ARGS='carts -k unlock' narrows it
	@$(SETUP) test $(ARGS)

lint: ## formatting, types, import layers, migrations, templates, production's settings
	@$(SETUP) lint

check-deploy: ## Django's own checks and ours, with production's settings
	@$(SETUP) dev -m deploy.stack.check_deploy

bench: ## measure the speed goals; ARGS are passed on
	@$(SETUP) dev -m bench $(ARGS)

soak: ## 10,000 rogue registrations, then 100,000 faulted unlocks in virtual time; ARGS='--unlocks 2000 --seed 7' narrows it
	@$(SETUP) dev -m bench.soak $(ARGS)

manage: ## manage.py on the running (or startable) stack: make -s manage ARGS='create_enrolment_code --branch BRANCH-001'
	@$(SETUP) run -m deploy.stack manage $(ARGS)

lock: ## write requirements*.txt anew from requirements*.in
	@$(SETUP) lock

clean: ## remove caches and var/ of a stack that does not run
	@$(SETUP) clean
