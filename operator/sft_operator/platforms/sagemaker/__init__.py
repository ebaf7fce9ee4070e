"""SageMaker training jobs; platform.py puts the parts together, plan, request, existing, progress and translate are pure."""
