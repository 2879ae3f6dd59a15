from examples.seeds.definitive_guide.factory.app_factory import create_app

app = create_app()
celery = app.state.celery
